// Area of a rectangle: the function of AWS's tutorial "Create your first Lambda function".

export const handler = async (event, context) => {
  const area = event.length * event.width;
  console.log(`The area is ${area}`);
  console.log('CloudWatch log group:', context.logGroupName);
  return JSON.stringify({ area });
};
